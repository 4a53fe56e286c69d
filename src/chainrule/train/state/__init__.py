"""All that training changes: copies of it, in memory and in files."""
