//! API methods: network.

use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[];
