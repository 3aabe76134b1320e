//! The controller for Kubernetes. Nothing is built yet: Towpath runs from files, see README.md.
