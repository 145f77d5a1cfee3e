//! The programs of the guide's page of recipes. They are examples of this package, and
//! its tests serve them.
