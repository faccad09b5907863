"""What travels with a coadd beside its pixels: tables, polygons, fields and maps."""
