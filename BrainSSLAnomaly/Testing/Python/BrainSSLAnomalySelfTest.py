"""Test the module within Slicer, by ctest: its own tests, its menu, the panel from scan to mask."""

import time
import unittest

import slicer

LIMIT_S = 1800
"""Far more than a detection takes, on a machine with every core busy."""


class BrainSSLAnomalySelfTest(unittest.TestCase):
    """Use the synthetic patient; what needs packages that Slicer lacks is skipped without them."""

    def setUp(self):
        """Start with an empty scene."""
        slicer.mrmlScene.Clear()

    def test_ownTestsOfTheModule(self):
        """Run those tests of the module that need no package."""
        from BrainSSLAnomaly import BrainSSLAnomalyTest

        test = BrainSSLAnomalyTest()
        test.setUp()
        test.test_refusalLeavesTheScene()

    def test_menuOfTheDataModule(self):
        """Find the entry of the right-click menu."""
        plugins = slicer.qSlicerSubjectHierarchyPluginHandler.instance()
        self.assertIsNotNone(plugins.pluginByName("BrainSSLAnomaly"))

    def test_panelFromScanToSegmentation(self):
        """Detect through the panel, as a user does."""
        from BrainSSLAnomalyLib.panel import dependencies, sampledata

        if dependencies.missing():
            self.skipTest("needs " + ", ".join(map(str, dependencies.missing())))
        widget = slicer.util.getNewModuleWidget("BrainSSLAnomaly")
        nodes = sampledata.load(spacing=3.0)
        widget.scans.guess(nodes[0])
        self.assertTrue(widget.ui.detectButton.enabled)
        widget.onDetect()
        end = time.monotonic() + LIMIT_S
        while widget.detection.is_running and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.05)
        self.assertFalse(widget.detection.is_running)
        self.assertIsNotNone(widget.session)
        self.assertGreaterEqual(widget.ui.findingsTable.rowCount, 1)
        segments = widget.session.results.segmentation.GetSegmentation()
        self.assertEqual(segments.GetNumberOfSegments(), 1)
        widget.cleanup()
