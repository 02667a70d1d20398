"""The operator's pages: server-rendered, live over one stream, in Chinese and English."""
