"""Reports: tables and pictures made from measurements."""
