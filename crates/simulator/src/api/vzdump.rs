//! API methods: vzdump.

use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[];
