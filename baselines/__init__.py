"""What the report tried before its nets: the milestone's K-means (sections 4 and 5)."""
