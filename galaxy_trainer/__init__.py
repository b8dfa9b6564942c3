"""Train, evaluate and compare networks on scalenorm caches."""
