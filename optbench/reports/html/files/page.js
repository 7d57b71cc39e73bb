"use strict";
(() => {
  const tip = document.getElementById("tip");

  const show = (mark, x, y) => {
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 8)) + "px";
    tip.style.top = (y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18) + "px";
  };

  for (const paper of document.querySelectorAll(".paper")) {
    const marks = [...paper.querySelectorAll("[data-tip]")];
    if (!marks.length) continue;
    let here = null;
    const at = (mark) => {
      const box = mark.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2, box];
    };
    const pick = (mark, x, y) => {
      if (here) here.classList.remove("here");
      here = mark;
      if (!mark) { tip.hidden = true; return; }
      mark.classList.add("here");
      show(mark, x, y);
    };
    paper.addEventListener("pointermove", (event) => {
      const under = event.target.closest("[data-tip]");
      let best = under, nearest = 30;
      if (!under) for (const mark of marks) {
        const [x, y] = at(mark);
        const far = Math.hypot(x - event.clientX, y - event.clientY);
        if (far < nearest) { nearest = far; best = mark; }
      }
      pick(best, event.clientX, event.clientY);
    });
    paper.addEventListener("pointerleave", () => pick(null));
    paper.addEventListener("blur", () => pick(null));
    paper.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") pick(null);
      if (!step) return;
      event.preventDefault();
      const index = here ? marks.indexOf(here) + step : step > 0 ? 0 : marks.length - 1;
      const mark = marks[(index + marks.length) % marks.length];
      const [x, y, box] = at(mark);
      pick(mark, x, Math.max(y, box.bottom));
    });
  }

  const key = (cell) => {
    const value = cell.dataset.value;
    return value === undefined ? cell.textContent.trim() : Number(value);
  };
  const compare = (one, two) => {
    const words = (typeof one === "string") - (typeof two === "string");
    if (words) return words;
    return typeof one === "string" ? one.localeCompare(two, undefined, { numeric: true }) : one - two;
  };

  for (const table of document.querySelectorAll("table.tools")) {
    const body = table.tBodies[0], rows = [...body.rows];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent || "sort";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const keyed = rows.map((row) => [key(row.cells[column]), row]);
        keyed.sort((one, two) => (up ? 1 : -1) * compare(one[0], two[0]));
        body.append(...keyed.map((pair) => pair[1]));
      });
    });
    const bar = document.createElement("div"), label = document.createElement("label");
    const input = document.createElement("input"), count = document.createElement("span");
    bar.className = "filter";
    label.append("Filter rows ", input);
    input.type = "search";
    count.className = "quiet";
    count.setAttribute("role", "status");
    bar.append(label, count);
    table.parentElement.before(bar);
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const apply = () => {
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let kept = 0;
      rows.forEach((row, index) => {
        row.hidden = !wanted.every((word) => texts[index].includes(word));
        if (!row.hidden) kept += 1;
      });
      count.textContent = kept + " of " + rows.length + " rows";
    };
    input.addEventListener("input", apply);
    apply();
  }

  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details")) fold.open = true;
  });
})();
