"""The programs that run in the environment `.bench`; nothing outside it imports them."""
