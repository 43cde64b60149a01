//! API methods: access.

use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[];
