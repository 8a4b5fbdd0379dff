"""What the tests share: small pools and images, a served cascade to ask, fakes and random problems."""
