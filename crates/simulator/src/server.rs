//! HTTP/1.1 over TLS with the rules of `pveproxy`.
