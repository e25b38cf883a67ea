"""materialabs discovers materials."""
