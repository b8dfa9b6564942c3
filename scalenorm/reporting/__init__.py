"""What people look at: the HTML page, the montage, the charts, and what ``scalenorm-inspect`` prints."""
