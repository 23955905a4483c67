//! What can be typed: commands and their flags. Help follows from here. A `bool` is a switch: `flags.rs` lets it stand alone or with
//! a value, as Go's flags do.

#![expect(clippy::struct_excessive_bools, reason = "every switch of a command is one")]

use std::net::SocketAddr;
use std::path::PathBuf;

use bakelite_local::{Allowance, CallRate, Denial, Latency, Shortage};
use bakelite_template::duration::GoDuration;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::partition::PartitionArg;

/// Groups of flags in the help.
const VALUES: &str = "Builds and variables";
const RECORDS: &str = "Records of the run";
const COMPATIBILITY: &str = "Without effect";
const LOCAL_CLOUD: &str = "Local cloud";

/// Bakes machine images from Packer's templates, without Packer and without plugins.
#[derive(Debug, Parser)]
#[command(name = "bakelite", disable_version_flag = true, subcommand_required = false)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Print the version
    #[arg(long, short)]
    pub(crate) version: bool,
    /// Complete commands and flags with the Tab key in bash and zsh, from the next shell on
    #[arg(long, conflicts_with = "autocomplete_uninstall")]
    pub(crate) autocomplete_install: bool,
    /// Undo `-autocomplete-install`
    #[arg(long)]
    pub(crate) autocomplete_uninstall: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[command(rename_all = "snake_case")]
pub(crate) enum Command {
    /// Bake the images of a template
    Build(Box<BuildArgs>),
    /// Check a template without baking
    Validate(ValidateArgs),
    /// Show the variables and builds of a template
    Inspect(InspectArgs),
    /// Evaluate expressions
    Console(ConsoleArgs),
    /// Rewrite templates in the canonical format
    Fmt(FmtArgs),
    /// Check the requirements of a template; nothing has to be installed
    Init(InitArgs),
    /// Rewrite a legacy JSON template as HCL
    #[command(name = "hcl2_upgrade")]
    Hcl2Upgrade(UpgradeArgs),
    /// Replace outdated options of a legacy JSON template
    Fix(FixArgs),
    /// List the plugins whose components are built in
    #[command(subcommand, alias = "plugin")]
    Plugins(PluginsCommand),
    /// Check the signature of an attestation and what it contains
    #[command(name = "verify-attestation")]
    VerifyAttestation(Box<VerifyArgs>),
    /// Print the least IAM policy for what a template uses
    #[cfg(feature = "amazon")]
    #[command(name = "iam-policy")]
    IamPolicy(IamPolicyArgs),
    /// Work on manifests, which the post-processor `manifest` writes
    #[command(subcommand)]
    Manifest(ManifestCommand),
    /// Remove what a killed run left behind
    Gc(GcArgs),
    /// Use the local cloud: EC2's API on sandboxes of this machine
    #[command(subcommand)]
    Local(LocalCommand),
    /// Print the version
    Version,
}

/// Which template, and the values for it.
#[derive(Debug, Default, Args)]
pub(crate) struct TemplateArgs {
    /// Only the builds whose name matches one of these globs, separated by commas
    #[arg(long, value_name = "GLOBS", help_heading = VALUES)]
    pub(crate) only: Vec<String>,
    /// Without the builds (and post-processors) whose name matches one of these globs, separated by commas
    #[arg(long, value_name = "GLOBS", help_heading = VALUES)]
    pub(crate) except: Vec<String>,
    /// A value for a variable; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = assignment, help_heading = VALUES)]
    pub(crate) variables: Vec<(String, String)>,
    /// A file with values for variables; may be repeated
    #[arg(long = "var-file", value_name = "FILE", help_heading = VALUES)]
    pub(crate) variable_files: Vec<String>,
    /// What standard input is, when the template is `-`
    #[arg(long, value_name = "LANGUAGE", help_heading = VALUES)]
    pub(crate) config_type: Option<ConfigTypeArg>,
    /// Accepted for compatibility: evaluation order does not change results here
    #[arg(long, action = ArgAction::Set, default_value_t, help_heading = COMPATIBILITY)]
    pub(crate) use_sequential_evaluation: bool,
    /// Accepted for compatibility: there are no plugins here
    #[arg(long, action = ArgAction::Set, default_value_t, help_heading = COMPATIBILITY)]
    pub(crate) ignore_prerelease_plugins: bool,
}

/// The languages of a template.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ConfigTypeArg {
    /// HCL.
    Hcl2,
    /// Legacy JSON.
    Json,
}

/// Flags of `build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    #[command(flatten)]
    pub(crate) cloud: LocalCloudArgs,
    /// Bake on the local cloud instead of AWS: no account, no network, real SSH
    #[arg(long, action = ArgAction::Set, default_value_t, help_heading = LOCAL_CLOUD)]
    pub(crate) local: bool,
    /// Colours; by default at a terminal
    #[arg(long, action = ArgAction::Set)]
    pub(crate) color: Option<bool>,
    /// Bake one build after another, pause before each provisioner, save keys in the working directory
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) debug: bool,
    /// Replace artifacts that exist already
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) force: bool,
    /// Begin each line with the time
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) timestamp_ui: bool,
    /// How many builds at a time; 0 or less: all
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) parallel_builds: i64,
    /// What to do when a build fails
    #[arg(long, value_name = "WHAT", default_value = "cleanup")]
    pub(crate) on_error: OnErrorArg,
    /// Warn about values in var files for variables that the template does not declare
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) warn_on_undeclared_var: bool,
    /// Accepted for compatibility: there are no enforced provisioners here
    #[arg(long, action = ArgAction::Set, default_value_t, help_heading = COMPATIBILITY)]
    pub(crate) skip_enforcement: bool,
    /// Bake only this part of the builds: part I of N, by their names; `auto` takes both from the job that this runs in
    #[arg(long, value_name = "I/N|auto", help_heading = VALUES)]
    pub(crate) partition: Option<PartitionArg>,
    /// Print at the end how long each step of each build took, and what it waited for
    #[arg(long, action = ArgAction::Set, default_value_t, help_heading = RECORDS)]
    pub(crate) timing: bool,
    /// Write the steps to this file in the Chrome trace format
    #[arg(long, value_name = "FILE", help_heading = RECORDS)]
    pub(crate) trace: Option<PathBuf>,
    /// Write the timeline of all builds to this file, an HTML page
    #[arg(long, value_name = "FILE", help_heading = RECORDS)]
    pub(crate) report: Option<PathBuf>,
    /// Append all events as JSON lines to this file
    #[arg(long, value_name = "FILE", help_heading = RECORDS)]
    pub(crate) log_events: Option<PathBuf>,
    /// Keep the journal in this directory, which machines may share; `gc` with the same directory then cleans up on any of them
    #[arg(long, value_name = "DIRECTORY", help_heading = RECORDS)]
    pub(crate) journal: Option<PathBuf>,
    /// The template: a file, a directory, or `-` for standard input
    #[arg(value_name = "TEMPLATE")]
    pub(crate) path: String,
}

/// What to do when a build fails.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OnErrorArg {
    /// Remove everything temporary.
    Cleanup,
    /// Leave everything as it is; `gc` removes it later.
    Abort,
    /// Ask.
    Ask,
    /// Run the error-cleanup-provisioner, then leave everything as it is.
    RunCleanupProvisioner,
}

/// The local cloud in the place of AWS, for commands that bake nothing.
#[derive(Debug, Default, Args)]
pub(crate) struct LocalPlaceArgs {
    /// Query data sources on the local cloud instead of AWS
    #[arg(long, action = ArgAction::Set, default_value_t, help_heading = LOCAL_CLOUD)]
    pub(crate) local: bool,
    #[command(flatten)]
    pub(crate) cloud: LocalCloudArgs,
}

/// Which local cloud.
#[derive(Debug, Args)]
pub(crate) struct LocalStateArgs {
    /// Where the local cloud keeps its images and instances
    #[arg(long, value_name = "DIRECTORY", help_heading = LOCAL_CLOUD)]
    pub(crate) local_state: Option<PathBuf>,
}

/// Settings of the local cloud.
#[derive(Debug, Default, Args)]
pub(crate) struct LocalCloudArgs {
    /// A base image of the local cloud: NAME=oci:REGISTRY/REPOSITORY:TAG (or @DIGEST), NAME=dir:DIRECTORY or NAME=tar:FILE. NAME is an
    /// AMI's name, the filter that searches for it, or an id; may be repeated
    #[arg(long = "local-image", value_name = "NAME=ROOT", value_parser = assignment, help_heading = LOCAL_CLOUD)]
    pub(crate) images: Vec<(String, String)>,
    /// Whether a well-known AMI of another distribution than this machine's is pulled from its public registry: `auto` or `never`
    #[arg(long, value_name = "WHEN", help_heading = LOCAL_CLOUD)]
    pub(crate) local_pull: Option<LocalPull>,
    /// How long changes of state take: `none`, `ec2`, or a list like `instance=12,stop=20`; with `visible=3`, calls find only after 3 seconds what was made
    #[arg(long, value_name = "PROFILE", default_value = "none", help_heading = LOCAL_CLOUD)]
    pub(crate) latency: Latency,
    /// Actions that nobody may call, such as `RunInstances`, `ec2:CreateTags` or `iam:*`
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',', help_heading = LOCAL_CLOUD)]
    pub(crate) deny: Vec<Denial>,
    /// Instance types and zones without capacity, such as `m5.large,us-east-1a`
    #[arg(long, value_name = "POOLS", value_delimiter = ',', help_heading = LOCAL_CLOUD)]
    pub(crate) no_capacity: Vec<Shortage>,
    /// Calls of EC2 that are taken, such as `20:100`: 20 in a second, and 100 at once; by default all
    #[arg(long, value_name = "RATE:BURST", help_heading = LOCAL_CLOUD)]
    pub(crate) throttle: Option<CallRate>,
    /// Run instances without isolation, as processes of this machine. Only for templates that you trust
    #[arg(long, action = ArgAction::Set, default_value_t, help_heading = LOCAL_CLOUD)]
    pub(crate) local_unisolated: bool,
    /// An address of this machine or of a private network that instances may reach, such as `10.0.0.7:8080` or `127.0.0.1:5000`; may be repeated
    #[arg(long, value_name = "ADDRESS[:PORT]", help_heading = LOCAL_CLOUD)]
    pub(crate) local_allow: Vec<Allowance>,
    /// Cut instances off from every network, and from each other
    #[arg(long, action = ArgAction::Set, default_value_t, help_heading = LOCAL_CLOUD)]
    pub(crate) local_offline: bool,
    /// Hand the proxy settings of the environment to instances
    #[arg(long, action = ArgAction::Set, default_value_t, help_heading = LOCAL_CLOUD)]
    pub(crate) local_proxy: bool,
    /// Where the local cloud keeps its images and instances
    #[arg(long, value_name = "DIRECTORY", help_heading = LOCAL_CLOUD)]
    pub(crate) local_state: Option<PathBuf>,
    /// Processes and threads that an instance may have; 4096 by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(16..), help_heading = LOCAL_CLOUD)]
    pub(crate) local_pids: Option<u64>,
    /// Memory that an instance may use, such as `512M` or `4G`; three quarters of this machine's by default
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = LOCAL_CLOUD)]
    pub(crate) local_memory: Option<u64>,
    /// Processors that an instance may use, such as `2` or `0.5`; all by default
    #[arg(long, value_name = "N", value_parser = processors, help_heading = LOCAL_CLOUD)]
    pub(crate) local_cpus: Option<f64>,
    /// What an instance may write to its disk, such as `8G`; 20G by default
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = LOCAL_CLOUD)]
    pub(crate) local_disk: Option<u64>,
}

impl LocalCloudArgs {
    /// The first of these flags that is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let flags = [
            ("-local-image", !self.images.is_empty()),
            ("-local-pull", self.local_pull.is_some()),
            ("-latency", self.latency != Latency::default()),
            ("-deny", !self.deny.is_empty()),
            ("-no-capacity", !self.no_capacity.is_empty()),
            ("-throttle", self.throttle.is_some()),
            ("-local-unisolated", self.local_unisolated),
            ("-local-allow", !self.local_allow.is_empty()),
            ("-local-offline", self.local_offline),
            ("-local-proxy", self.local_proxy),
            ("-local-state", self.local_state.is_some()),
            ("-local-pids", self.local_pids.is_some()),
            ("-local-memory", self.local_memory.is_some()),
            ("-local-cpus", self.local_cpus.is_some()),
            ("-local-disk", self.local_disk.is_some()),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
}

/// When distributions of well-known AMIs are pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LocalPull {
    /// Where they are neither this machine's nor there already.
    Auto,
    /// Never: this machine's own system stands in for them.
    Never,
}

/// Why a value of a flag is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("`{0}` is not a unit: use K, M, G or T")]
    Unit(String),
    #[error("not a number of bytes, such as 512M or 4G")]
    Bytes,
    #[error("less than 16M")]
    TooSmall,
    #[error("not a number of processors, such as 2 or 0.5")]
    Processors,
    #[error("there is no `=` in it")]
    Assignment,
    #[error("it is neither `true` nor `false`")]
    Boolean,
}

/// Reads a number of bytes: `1048576`, `512M`, `4G`, `4GiB`. Units are powers of 1024, as in Docker's flags. Less than 16 MiB starts no
/// instance.
fn size(text: &str) -> Result<u64, ValueError> {
    const LEAST: u64 = 16 << 20;
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let shift = match text
        .get(digits.len()..)
        .unwrap_or_default()
        .to_ascii_lowercase()
        .as_str()
    {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        other => return Err(ValueError::Unit(other.to_owned())),
    };
    let bytes = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift));
    match bytes {
        Some(bytes) if bytes >= LEAST => Ok(bytes),
        Some(_) => Err(ValueError::TooSmall),
        None => Err(ValueError::Bytes),
    }
}

/// Reads a number of processors.
fn processors(text: &str) -> Result<f64, ValueError> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && (0.01..=4096.0).contains(&number) => Ok(number),
        _ => Err(ValueError::Processors),
    }
}

/// Flags of `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    /// Check the syntax alone
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) syntax_only: bool,
    /// Do not warn about values in var files for variables that the template does not declare
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) no_warn_undeclared_var: bool,
    #[command(flatten)]
    pub(crate) place: LocalPlaceArgs,
    /// Query data sources instead of treating their values as unknown
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) evaluate_datasources: bool,
    /// Print what is wrong as JSON, for machines
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) json: bool,
    /// The template: a file, a directory, or `-` for standard input
    #[arg(value_name = "TEMPLATE")]
    pub(crate) path: String,
}

/// Flags of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    #[command(flatten)]
    pub(crate) place: LocalPlaceArgs,
    /// The template: a file, a directory, or `-` for standard input; none: an empty one
    #[arg(value_name = "TEMPLATE")]
    pub(crate) path: Option<String>,
}

/// Flags of `console`.
#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    #[command(flatten)]
    pub(crate) place: LocalPlaceArgs,
    /// The template whose variables and locals can be used
    #[arg(value_name = "TEMPLATE")]
    pub(crate) path: Option<String>,
}

/// Flags of `fmt`.
#[derive(Debug, Args)]
pub(crate) struct FmtArgs {
    /// Change nothing; exit with 3 when something would change
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) check: bool,
    /// Show what changes
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) diff: bool,
    /// Write the files
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub(crate) write: bool,
    /// Directories with all that is in them
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) recursive: bool,
    /// Files, directories, or `-` for standard input
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<String>,
}

/// Flags of `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    /// Accepted for compatibility: there is nothing to upgrade
    #[arg(long, action = ArgAction::Set, default_value_t, help_heading = COMPATIBILITY)]
    pub(crate) upgrade: bool,
    /// Accepted for compatibility: there is nothing to install
    #[arg(long, action = ArgAction::Set, default_value_t, help_heading = COMPATIBILITY)]
    pub(crate) force: bool,
    /// The template: a file or a directory
    #[arg(value_name = "TEMPLATE")]
    pub(crate) path: String,
}

/// Flags of `hcl2_upgrade`.
#[derive(Debug, Args)]
pub(crate) struct UpgradeArgs {
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    /// Where to write the HCL template; without it, the name of the JSON template followed by `.pkr.hcl`
    #[arg(long, value_name = "FILE")]
    pub(crate) output_file: Option<PathBuf>,
    /// Explain the parts of the HCL template in comments
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) with_annotations: bool,
    /// The JSON template: a file, or `-` for standard input, whose HCL goes to standard output
    #[arg(value_name = "TEMPLATE")]
    pub(crate) path: String,
}

/// Flags of `fix`.
#[derive(Debug, Args)]
pub(crate) struct FixArgs {
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    /// Also check the fixed template
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub(crate) validate: bool,
    /// The JSON template: a file, or `-` for standard input
    #[arg(value_name = "TEMPLATE")]
    pub(crate) path: String,
}

/// Commands on plugins. There are none to install: these commands exist for scripts written for Packer.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginsCommand {
    /// List the plugins whose components are built in, and these
    Installed,
    /// List what a template requires, and whether it is built in
    Required {
        /// The template: a file or a directory
        #[arg(value_name = "TEMPLATE")]
        path: String,
    },
    /// Check that a plugin is built in; nothing is installed
    Install {
        /// Accepted for compatibility: there is nothing to install from a file
        #[arg(long, value_name = "FILE")]
        path: Option<String>,
        /// Accepted for compatibility: there is nothing to install
        #[arg(long, action = ArgAction::Set, default_value_t)]
        force: bool,
        /// The plugin's source, such as `github.com/hashicorp/amazon`
        #[arg(value_name = "SOURCE")]
        source: String,
        /// The version, such as `1.2.0`
        #[arg(value_name = "VERSION")]
        version: Option<String>,
    },
    /// Report that a plugin cannot be removed: none is installed
    Remove {
        /// The plugin's source, such as `github.com/hashicorp/amazon`
        #[arg(value_name = "SOURCE")]
        source: String,
        /// The version, such as `1.2.0`
        #[arg(value_name = "VERSION")]
        version: Option<String>,
    },
}

/// Flags of `verify-attestation`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// How it must be signed: `key` (the default), or `none` to look into an unsigned statement
    #[arg(long, value_name = "MODE")]
    pub(crate) signing_mode: Option<String>,
    /// The same as -verifier
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<String>,
    /// The key that must have signed it: a public key in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) verifier: Option<String>,
    /// The type that its predicate must have
    #[arg(long, value_name = "TYPE")]
    pub(crate) predicate_type: Option<String>,
    /// Who must have baked
    #[arg(long, value_name = "ID")]
    pub(crate) builder_id: Option<String>,
    /// Where the template must come from
    #[arg(long, value_name = "URI")]
    pub(crate) source_uri: Option<String>,
    /// What it must be about: a file, or the id of an AMI
    #[arg(long, value_name = "FILE|ID")]
    pub(crate) artifact: Option<String>,
    /// Keyless signing, which is not supported
    #[arg(long)]
    pub(crate) trusted_root_path: Option<String>,
    /// Keyless signing, which is not supported
    #[arg(long)]
    pub(crate) keyless_identity: Option<String>,
    /// Keyless signing, which is not supported
    #[arg(long)]
    pub(crate) keyless_oidc_issuer: Option<String>,
    /// Keyless signing, which is not supported
    #[arg(long)]
    pub(crate) bundle: Option<String>,
    /// Transparency logs, which are not supported
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) require_rekor: bool,
    /// Timestamp authorities, which are not supported
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) require_timestamp: bool,
    /// The attestation: `*.provenance.json` or `*.sbom.att.json`
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
}

/// Flags of `iam-policy`.
#[cfg(feature = "amazon")]
#[derive(Debug, Args)]
pub(crate) struct IamPolicyArgs {
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    /// The template: a file, a directory, or `-` for standard input
    #[arg(value_name = "TEMPLATE")]
    pub(crate) path: String,
}

/// Commands on manifests.
#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Join the manifests of the parts of a run that `-partition` distributed
    Merge {
        /// Where to write the manifest; without it, standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The manifests, in the order that their builds shall have
        #[arg(value_name = "FILE", required = true)]
        parts: Vec<PathBuf>,
    },
}

/// Flags of `gc`.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Only list what would be removed
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub(crate) dry_run: bool,
    /// Read the journals in this directory, which machines may share
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "sweep")]
    pub(crate) journal: Option<PathBuf>,
    /// Search the account for what carries the tags of bakelite, instead of reading journals: another machine's leftovers, or those of a
    /// journal that is lost. Lists what is found
    #[arg(long, action = ArgAction::Set, default_value_t, conflicts_with = "dry_run")]
    pub(crate) sweep: bool,
    /// With -sweep: leave alone what is younger, since its bake may still run. With -journal: leave the journals of other machines alone
    /// that were written to more recently, for the same reason
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub(crate) older_than: GoDuration,
    /// With -sweep: remove what is found
    #[arg(long, action = ArgAction::Set, default_value_t, requires = "sweep")]
    pub(crate) remove: bool,
}

/// Commands on the local cloud.
#[derive(Debug, Subcommand)]
pub(crate) enum LocalCommand {
    /// Serve EC2's API for any client until interrupted
    Serve {
        #[command(flatten)]
        cloud: LocalCloudArgs,
        /// Where to listen; only loopback addresses
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4599")]
        listen: SocketAddr,
        /// The SSH port of instances
        #[arg(long, value_name = "PORT", default_value_t = 22)]
        ssh_port: u16,
    },
    /// List the images
    Images {
        #[command(flatten)]
        cloud: LocalCloudArgs,
        /// As JSON
        #[arg(long, action = ArgAction::Set, default_value_t)]
        json: bool,
        /// Also the well-known base images
        #[arg(long, action = ArgAction::Set, default_value_t)]
        all: bool,
    },
    /// Run a command in a throw-away instance of an image
    Run {
        #[command(flatten)]
        cloud: LocalCloudArgs,
        /// The image's id
        #[arg(value_name = "AMI")]
        ami: String,
        /// The command and its arguments
        #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Write an image as a tarball, an OCI image or a disk
    Export {
        #[command(flatten)]
        cloud: LocalCloudArgs,
        /// The image's id or name
        #[arg(value_name = "AMI")]
        ami: String,
        /// Where to: tar:FILE, oci-archive:FILE, oci-dir:DIRECTORY, oci:REGISTRY/REPOSITORY:TAG or disk:FILE
        #[arg(value_name = "TARGET")]
        target: String,
    },
    /// List the instances
    Ps {
        #[command(flatten)]
        state: LocalStateArgs,
        /// As JSON
        #[arg(long, action = ArgAction::Set, default_value_t)]
        json: bool,
    },
    /// Run a command as root in a running instance
    Exec {
        #[command(flatten)]
        state: LocalStateArgs,
        /// The instance's id
        #[arg(value_name = "INSTANCE")]
        instance: String,
        /// The command and its arguments
        #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Log in to a running instance with OpenSSH's client
    Ssh {
        #[command(flatten)]
        state: LocalStateArgs,
        /// The instance's id
        #[arg(value_name = "INSTANCE")]
        instance: String,
        /// Further arguments of `ssh`, such as a command
        #[arg(value_name = "ARGUMENT", trailing_var_arg = true)]
        arguments: Vec<String>,
    },
    /// List what takes space on disk
    Du {
        #[command(flatten)]
        cloud: LocalCloudArgs,
        /// As JSON
        #[arg(long, action = ArgAction::Set, default_value_t)]
        json: bool,
    },
    /// Remove images with their snapshots
    Rm {
        #[command(flatten)]
        cloud: LocalCloudArgs,
        /// Ids or names of images
        #[arg(value_name = "AMI", required = true)]
        amis: Vec<String>,
    },
    /// Remove what no image needs
    Prune {
        #[command(flatten)]
        cloud: LocalCloudArgs,
        /// Also terminate instances that are stopped
        #[arg(long, action = ArgAction::Set, default_value_t)]
        stopped: bool,
        /// Only list what would be removed
        #[arg(long, action = ArgAction::Set, default_value_t)]
        dry_run: bool,
    },
    /// Forget all images and instances
    Reset {
        #[command(flatten)]
        state: LocalStateArgs,
        /// End the bakes and instances that still run first
        #[arg(long, action = ArgAction::Set, default_value_t)]
        force: bool,
    },
}

/// `NAME=VALUE`, split at the first `=`.
fn assignment(text: &str) -> Result<(String, String), ValueError> {
    let (name, value) = text.split_once('=').ok_or(ValueError::Assignment)?;
    Ok((name.to_owned(), value.to_owned()))
}
