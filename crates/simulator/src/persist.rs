//! The world on disk.
