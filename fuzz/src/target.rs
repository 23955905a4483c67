//! What inputs are thrown at.

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// An expression: read, evaluated, shown.
    Expression,
    /// A `.pkr.hcl` template: read, planned, decoded once more, inspected, formatted.
    Template,
    /// A JSON template, both as a legacy one (with `{{ }}`, upgraded and fixed too) and as `.pkr.json`.
    Json,
    /// An archive that a server sends.
    Tar,
    /// Records of scp that a server sends.
    Scp,
    /// Answers of an SFTP server.
    Sftp,
    /// A console with host keys, answers of proxies.
    Greeting,
    /// Answers of a WinRM service.
    WinRm,
    /// A call of the local cloud's EC2 or STS: its form, and the parameters of its action.
    Query,
    /// A call of a service with JSON: its target on the first line.
    Services,
    /// The head of a call: its query on the first line, headers on the others.
    Signature,
    /// What an agent says to a client of a data channel: a byte for the kind of a message, one for a fourth of its length, the message.
    DataClient,
    /// What a client says to an agent.
    DataAgent,
    /// Packets of an instance of the local cloud, each with its length in two bytes before it.
    Packets,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 14] = [
        Target::Expression,
        Target::Template,
        Target::Json,
        Target::Tar,
        Target::Scp,
        Target::Sftp,
        Target::Greeting,
        Target::WinRm,
        Target::Query,
        Target::Services,
        Target::Signature,
        Target::DataClient,
        Target::DataAgent,
        Target::Packets,
    ];

    /// Is it what a peer of a bake sends, and no text of the user's?
    pub fn is_of_a_peer(self) -> bool {
        matches!(
            self,
            Target::Tar | Target::Scp | Target::Sftp | Target::Greeting | Target::WinRm
        )
    }

    /// How it is called.
    pub fn name(self) -> &'static str {
        match self {
            Target::Expression => "expression",
            Target::Template => "template",
            Target::Json => "json",
            Target::Tar => "tar",
            Target::Scp => "scp",
            Target::Sftp => "sftp",
            Target::Greeting => "greeting",
            Target::WinRm => "winrm",
            Target::Query => "query",
            Target::Services => "services",
            Target::Signature => "signature",
            Target::DataClient => "data-client",
            Target::DataAgent => "data-agent",
            Target::Packets => "packets",
        }
    }
}
