"""The Python API; `import optbench` hands out its public names."""
