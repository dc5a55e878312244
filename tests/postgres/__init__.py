"""What the product knows of Postgres, held against real servers."""
