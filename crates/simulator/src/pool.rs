//! The thin pool.
