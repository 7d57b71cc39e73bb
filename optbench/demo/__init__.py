"""The embedded demo: a small trained sentiment model, human-rated sentences, and how both were made."""
