"""A folder of requests evaluated into a folder of responses, whatever ends in the middle."""
