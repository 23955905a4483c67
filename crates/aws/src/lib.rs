//! Credentials, clients, waiting and undo for AWS.
