//! The amazon-ebs builder.
