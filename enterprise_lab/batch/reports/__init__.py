"""What a batch left, compared: tables, pictures, pages."""
