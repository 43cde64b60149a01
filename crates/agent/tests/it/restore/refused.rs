//! What is never done, and what is said instead.
