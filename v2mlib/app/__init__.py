"""The quickstart as a small web page: `v2m app`."""
