//! Joins the parts of a contract to a running instance.
