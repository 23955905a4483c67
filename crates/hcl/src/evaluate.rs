//! Expressions evaluated against a scope.
