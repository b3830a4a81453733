"""Lightning callbacks: what is watched, and what is kept, while a model trains."""
