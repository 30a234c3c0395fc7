"""Reading experiments: listing, filtering, showing one, comparing two. Nothing here changes anything."""
