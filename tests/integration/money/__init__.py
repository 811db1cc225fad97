"""Money across processes that die: the server and the payment sandbox, each killed at any moment."""
