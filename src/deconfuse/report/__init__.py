"""Views to text, pictures and pages. Pure: what is shown is handed in."""
