//! The plugins of Packer by name, and the components that each brings. The one place that says which component is of which plugin:
//! `required_plugins`, `hcl2_upgrade`, `plugins installed` and what is reported about a component that bakelite does not have go by it.

use crate::component::ComponentKind;

/// A plugin of Packer.
#[derive(Debug)]
pub struct Plugin {
    /// Where templates get it from: `github.com/hashicorp/amazon`.
    pub source: &'static str,
    /// The version whose behaviour bakelite has, if it has any of the components.
    pub version: Option<&'static str>,
    builders: &'static [&'static str],
    provisioners: &'static [&'static str],
    post_processors: &'static [&'static str],
    data_sources: &'static [&'static str],
}

const fn plugin(source: &'static str) -> Plugin {
    Plugin {
        source,
        version: None,
        builders: &[],
        provisioners: &[],
        post_processors: &[],
        data_sources: &[],
    }
}

/// The plugins whose components are known by name.
pub const PLUGINS: &[Plugin] = &[
    Plugin {
        version: Some("1.8.2"),
        builders: &[
            "amazon-chroot",
            "amazon-ebs",
            "amazon-ebssurrogate",
            "amazon-ebsvolume",
            "amazon-instance",
        ],
        post_processors: &["amazon-import"],
        data_sources: &["amazon-ami", "amazon-parameterstore", "amazon-secretsmanager"],
        ..plugin("github.com/hashicorp/amazon")
    },
    Plugin {
        version: Some("1.1.4"),
        provisioners: &["ansible", "ansible-local"],
        ..plugin("github.com/hashicorp/ansible")
    },
    Plugin {
        builders: &["alicloud-ecs"],
        post_processors: &["alicloud-import"],
        ..plugin("github.com/hashicorp/alicloud")
    },
    Plugin {
        builders: &["azure-arm", "azure-chroot", "azure-dtl"],
        provisioners: &["azure-dtlartifact"],
        ..plugin("github.com/hashicorp/azure")
    },
    Plugin {
        provisioners: &["chef-client", "chef-solo"],
        ..plugin("github.com/hashicorp/chef")
    },
    Plugin {
        builders: &["cloudstack"],
        ..plugin("github.com/hashicorp/cloudstack")
    },
    Plugin {
        provisioners: &["converge"],
        ..plugin("github.com/hashicorp/converge")
    },
    Plugin {
        builders: &["digitalocean"],
        post_processors: &["digitalocean-import"],
        ..plugin("github.com/digitalocean/digitalocean")
    },
    Plugin {
        builders: &["docker"],
        post_processors: &["docker-import", "docker-push", "docker-save", "docker-tag"],
        ..plugin("github.com/hashicorp/docker")
    },
    Plugin {
        post_processors: &["exoscale-import"],
        ..plugin("github.com/exoscale/exoscale")
    },
    Plugin {
        data_sources: &["external", "external-raw"],
        ..plugin("github.com/joomcode/external")
    },
    Plugin {
        data_sources: &["git-commit", "git-repository", "git-tree"],
        ..plugin("github.com/ethanmdavidson/git")
    },
    Plugin {
        builders: &["googlecompute"],
        post_processors: &["googlecompute-export", "googlecompute-import"],
        ..plugin("github.com/hashicorp/googlecompute")
    },
    Plugin {
        builders: &["hcloud"],
        ..plugin("github.com/hetznercloud/hcloud")
    },
    Plugin {
        builders: &["hyperone"],
        ..plugin("github.com/hashicorp/hyperone")
    },
    Plugin {
        builders: &["hyperv-iso", "hyperv-vmcx"],
        ..plugin("github.com/hashicorp/hyperv")
    },
    Plugin {
        provisioners: &["inspec"],
        ..plugin("github.com/hashicorp/inspec")
    },
    Plugin {
        builders: &["linode"],
        ..plugin("github.com/linode/linode")
    },
    Plugin {
        builders: &["lxc"],
        ..plugin("github.com/hashicorp/lxc")
    },
    Plugin {
        builders: &["lxd"],
        ..plugin("github.com/hashicorp/lxd")
    },
    Plugin {
        builders: &["nutanix"],
        ..plugin("github.com/nutanix-cloud-native/nutanix")
    },
    Plugin {
        builders: &["openstack"],
        ..plugin("github.com/hashicorp/openstack")
    },
    Plugin {
        builders: &["oracle-classic", "oracle-oci"],
        ..plugin("github.com/hashicorp/oracle")
    },
    Plugin {
        builders: &["osc-bsu", "osc-bsusurrogate", "osc-bsuvolume", "osc-chroot"],
        ..plugin("github.com/outscale/outscale")
    },
    Plugin {
        builders: &["parallels-ipsw", "parallels-iso", "parallels-macvm", "parallels-pvm"],
        ..plugin("github.com/Parallels/parallels")
    },
    Plugin {
        builders: &["proxmox-clone", "proxmox-iso"],
        ..plugin("github.com/hashicorp/proxmox")
    },
    Plugin {
        provisioners: &["puppet-masterless", "puppet-server"],
        ..plugin("github.com/hashicorp/puppet")
    },
    Plugin {
        builders: &["qemu"],
        ..plugin("github.com/hashicorp/qemu")
    },
    Plugin {
        provisioners: &["salt-masterless"],
        ..plugin("github.com/hashicorp/salt")
    },
    Plugin {
        builders: &["scaleway"],
        ..plugin("github.com/scaleway/scaleway")
    },
    Plugin {
        data_sources: &["sshkey"],
        ..plugin("github.com/ivoronin/sshkey")
    },
    Plugin {
        builders: &["tencentcloud-cvm"],
        ..plugin("github.com/hashicorp/tencentcloud")
    },
    Plugin {
        builders: &["triton"],
        ..plugin("github.com/hashicorp/triton")
    },
    Plugin {
        builders: &["ucloud-uhost"],
        post_processors: &["ucloud-import"],
        ..plugin("github.com/ucloud/ucloud")
    },
    Plugin {
        builders: &["upcloud"],
        post_processors: &["upcloud-import"],
        ..plugin("github.com/UpCloudLtd/upcloud")
    },
    Plugin {
        builders: &["vagrant"],
        post_processors: &["vagrant", "vagrant-cloud", "vagrant-registry"],
        ..plugin("github.com/hashicorp/vagrant")
    },
    Plugin {
        builders: &["virtualbox-iso", "virtualbox-ovf", "virtualbox-vm"],
        ..plugin("github.com/hashicorp/virtualbox")
    },
    Plugin {
        builders: &["vmware-iso", "vmware-vmx"],
        ..plugin("github.com/hashicorp/vmware")
    },
    Plugin {
        builders: &["vsphere-clone", "vsphere-iso", "vsphere-supervisor"],
        post_processors: &["vsphere", "vsphere-template"],
        data_sources: &["vsphere-virtualmachine"],
        ..plugin("github.com/hashicorp/vsphere")
    },
    Plugin {
        builders: &["vultr"],
        ..plugin("github.com/vultr/vultr")
    },
    Plugin {
        builders: &["yandex"],
        post_processors: &["yandex-export", "yandex-import"],
        ..plugin("github.com/hashicorp/yandex")
    },
];

/// Components that Packer has without a plugin and bakelite has not.
const OF_PACKER: &[(ComponentKind, &str)] = &[
    (ComponentKind::DataSource, "hcp-packer-artifact"),
    (ComponentKind::DataSource, "hcp-packer-image"),
    (ComponentKind::DataSource, "hcp-packer-iteration"),
    (ComponentKind::DataSource, "hcp-packer-version"),
];

impl Plugin {
    /// What its components' names begin with, and what a template calls it: `amazon`.
    pub fn name(&self) -> &'static str {
        self.source.rsplit('/').next().unwrap_or(self.source)
    }

    /// Its components of a kind, sorted.
    pub fn components(&self, kind: ComponentKind) -> &'static [&'static str] {
        match kind {
            ComponentKind::Builder => self.builders,
            ComponentKind::Provisioner => self.provisioners,
            ComponentKind::PostProcessor => self.post_processors,
            ComponentKind::DataSource => self.data_sources,
        }
    }
}

/// The plugin of that source, if bakelite has any of its components.
pub fn built_in(source: &str) -> Option<&'static Plugin> {
    let mut plugins = PLUGINS.iter();
    plugins.find(|plugin| plugin.version.is_some() && plugin.source == source)
}

/// The plugin that a component is of.
pub fn plugin_of(kind: ComponentKind, component: &str) -> Option<&'static Plugin> {
    PLUGINS
        .iter()
        .find(|plugin| plugin.components(kind).contains(&component))
}

/// Is it a component that Packer has without a plugin and bakelite has not?
pub(crate) fn is_of_packer(kind: ComponentKind, component: &str) -> bool {
    OF_PACKER.contains(&(kind, component))
}

/// The components of Packer and of plugins that `has` does not have: kind, name, and the plugin that brings it. In the order of the
/// plugins, those that bakelite has a part of first.
pub fn missing(
    has: &dyn Fn(ComponentKind, &str) -> bool,
) -> Vec<(ComponentKind, &'static str, Option<&'static Plugin>)> {
    let kinds = [
        ComponentKind::Builder,
        ComponentKind::Provisioner,
        ComponentKind::PostProcessor,
        ComponentKind::DataSource,
    ];
    let of_plugins = PLUGINS.iter().flat_map(|plugin| {
        let each = kinds.into_iter();
        each.flat_map(move |kind| {
            plugin
                .components(kind)
                .iter()
                .map(move |name| (kind, *name, Some(plugin)))
        })
    });
    let of_packer = OF_PACKER.iter().map(|(kind, name)| (*kind, *name, None));
    of_plugins
        .chain(of_packer)
        .filter(|(kind, name, _)| !has(*kind, name))
        .collect()
}
