"""Runs within Slicer, by ctest: ``BrainSSLAnomaly.py``'s own tests, and the panel once from scan to segmentation."""

import time
import unittest

import slicer


class BrainSSLAnomalySelfTest(unittest.TestCase):
    """On the synthetic patient; what needs packages that Slicer does not bring is skipped without them."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_ownTestsOfTheModule(self):
        from BrainSSLAnomaly import BrainSSLAnomalyTest

        test = BrainSSLAnomalyTest()
        test.setUp()
        test.test_refusalLeavesTheScene()

    def test_panelFromScanToSegmentation(self):
        from BrainSSLAnomalyLib.panel import dependencies, sampledata

        if dependencies.missing():
            self.skipTest("needs " + ", ".join(dependencies.missing()))
        widget = slicer.util.getNewModuleWidget("BrainSSLAnomaly")
        nodes = sampledata.load(spacing=3.0)
        widget.scans.guess(nodes[0])
        self.assertTrue(widget.ui.detectButton.enabled)
        widget.onDetect()
        end = time.monotonic() + 300
        while widget.run.running and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.05)
        self.assertFalse(widget.run.running)
        self.assertIsNotNone(widget.session)
        self.assertGreaterEqual(widget.ui.findingsTable.rowCount, 1)
        self.assertEqual(
            widget.session.results.segmentation.GetSegmentation().GetNumberOfSegments(), 1
        )
        widget.cleanup()
