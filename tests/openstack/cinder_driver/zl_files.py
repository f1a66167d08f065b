# SPDX-License-Identifier: Apache-2.0
"""A back end for a real Cinder in a test: volumes are files in one folder of this machine, reached by their path.

Loaded by cinder-volume, within Cinder's own environment, never by the tests themselves.
"""

import os
import shutil

from cinder.volume import driver
from oslo_config import cfg

OPTIONS = [cfg.StrOpt("zl_files_dir", default="", help="The folder of the volumes' files.")]
cfg.CONF.register_opts(OPTIONS, group="files")
GIB = 1024**3


class FileDriver(driver.VolumeDriver):
    """Volumes are reached as os-brick's connector LOCAL knows them: by a device_path."""

    VERSION = "1.0"
    CI_WIKI_NAME = ""

    def do_setup(self, context):
        self.configuration.append_config_values(OPTIONS)
        self._folder = self.configuration.zl_files_dir

    def check_for_setup_error(self):
        os.makedirs(self._folder, exist_ok=True)

    def _update_volume_stats(self):
        self._stats = {
            "volume_backend_name": "files",
            "vendor_name": "tests",
            "driver_version": self.VERSION,
            "storage_protocol": "local",
            "total_capacity_gb": 100,
            "free_capacity_gb": 100,
            "thin_provisioning_support": True,
            "max_over_subscription_ratio": 20,
            "provisioned_capacity_gb": 0,
            "reserved_percentage": 0,
            "multiattach": True,
        }

    def create_volume(self, volume):
        with open(self._path(volume), "xb") as file:
            file.truncate(volume.size * GIB)

    def delete_volume(self, volume):
        if os.path.exists(self._path(volume)):
            os.unlink(self._path(volume))

    def extend_volume(self, volume, new_size):
        os.truncate(self._path(volume), new_size * GIB)

    def create_snapshot(self, snapshot):
        shutil.copyfile(self._path(snapshot.volume), self._path(snapshot))

    def delete_snapshot(self, snapshot):
        if os.path.exists(self._path(snapshot)):
            os.unlink(self._path(snapshot))

    def create_volume_from_snapshot(self, volume, snapshot):
        shutil.copyfile(self._path(snapshot), self._path(volume))
        os.truncate(self._path(volume), volume.size * GIB)

    def create_cloned_volume(self, volume, src_vref):
        shutil.copyfile(self._path(src_vref), self._path(volume))
        os.truncate(self._path(volume), volume.size * GIB)

    def ensure_export(self, context, volume):
        pass

    def create_export(self, context, volume, connector):
        pass

    def remove_export(self, context, volume):
        pass

    def initialize_connection(self, volume, connector):
        return {"driver_volume_type": "local", "data": {"device_path": self._path(volume)}}

    def terminate_connection(self, volume, connector, **kwargs):
        pass

    def _path(self, thing):
        return os.path.join(self._folder, thing.name)
