"""Words: quality reports and log lines into structure."""
