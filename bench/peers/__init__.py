"""The same URL queue on other people's job libraries, and what it takes to measure them beside Fetch Queue."""
