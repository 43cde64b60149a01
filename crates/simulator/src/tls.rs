//! The node's own certificate.
