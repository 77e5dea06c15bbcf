"""3D Slicer module: find what is unusual in a brain MRI, tune it, review it, export it.

Research use only, not for diagnosis.
"""

import logging
import sys
import time
from typing import Annotated

import slicer
from BrainSSLAnomalyLib.core.errors import BrainSSLAnomalyError
from BrainSSLAnomalyLib.core.settings import (
    DetectionSettings,
    MorphologySettings,
    ThresholdSettings,
    default_segmentation,
)
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.panel.detection import WITHOUT_WIDGET
from BrainSSLAnomalyLib.panel.parameters import with_settings
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

POLL_SECONDS = 0.05
"""Pause between two polls of the worker, for scripts."""


class BrainSSLAnomaly(ScriptedLoadableModule):
    """Describe the module to the module selector, the Sample Data module and the Data module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Brain SSL Anomaly")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = [
            "Colors",
            "Segmentations",
            "SubjectHierarchy",
            "Terminologies",
            "Volumes",
        ]
        parent.contributors = ["the BrainSSLAnomaly developers"]
        parent.helpText = (
            _(
                "Finds what is unusual in T1, T2, FLAIR and PD scans of a brain without ever "
                "having been shown a lesion. Choose the scans, press Detect anomalies, move the "
                "threshold, review the findings. Research use only, not for diagnosis."
            )
            + ' <a href="https://github.com/BrainSSLAnomaly/SlicerBrainSSLAnomaly">'
            + "github.com/BrainSSLAnomaly/SlicerBrainSSLAnomaly</a>"
        )
        parent.acknowledgementText = _(
            "The bundled atlas and networks are made from public data; the file NOTICE names every "
            "source and its licence."
        )
        slicer.app.connect("startupCompleted()", self.onStartupCompleted)

    def setup(self):
        """Register the right-click menu of the Data module; called when the module is loaded."""
        import SubjectHierarchyPlugins  # noqa: F401  (makes the base class of plugins importable)
        from BrainSSLAnomalyLib import panel

        plugin = slicer.qSlicerSubjectHierarchyScriptedPlugin(None)
        plugin.setPythonSource(panel.MENU_FILE)

    def onStartupCompleted(self):
        """Register the sample data; the other modules are loaded now."""
        from BrainSSLAnomalyLib.panel import sampledata

        sampledata.register(self.resourcePath("Icons/BrainSSLAnomaly.png"))


@parameterNodeWrapper
@with_settings(MorphologySettings)
@with_settings(ThresholdSettings)
@with_settings(DetectionSettings, without=WITHOUT_WIDGET)
class BrainSSLAnomalyParameterNode:
    """Hold what the panel saves with the scene; names are those of the widgets in the .ui file."""

    flair: vtkMRMLScalarVolumeNode
    t1: vtkMRMLScalarVolumeNode
    t1c: vtkMRMLScalarVolumeNode
    t2: vtkMRMLScalarVolumeNode
    pd: vtkMRMLScalarVolumeNode
    opacity: Annotated[float, WithinRange(0, 1)] = 0.6
    linkViews: bool = True
    showSurface: bool = False
    oneSegmentEach: bool = False
    explainFinding: bool = True


class BrainSSLAnomalyWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Join the sections of the panel, each a class in ``BrainSSLAnomalyLib.panel``."""

    def __init__(self, parent=None):
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.parameterNode = None
        self.session = None
        self.mayReplaceMask = True
        self._guiTag = None
        ScriptedLoadableModuleWidget.__init__(self, parent)  # without a parent it calls setup

    def setup(self):
        """Load the .ui file, make the sections, connect them."""
        ScriptedLoadableModuleWidget.setup(self)
        from BrainSSLAnomalyLib import panel

        self.uiWidget = slicer.util.loadUI(self.resourcePath("UI/BrainSSLAnomaly.ui"))
        self.layout.addWidget(self.uiWidget)
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = BrainSSLAnomalyLogic()
        self.scans = panel.ScansSection(self.ui, self.updateDetectButton)
        self.detection = panel.DetectionSection(self.ui)
        self.layers = panel.LayersSection(self.ui, self.onResultsChosen)
        self.tuning = panel.TuningSection(self.ui, self.onSettingsMoved, self.onSettingsSettled)
        self.explanation = panel.ExplanationSection(self.ui, self.layers)
        self.findings = panel.FindingsSection(self.ui, self.onReview, self.explanation.explain)
        self.export = panel.ExportSection(self.ui)
        self.setupSection = panel.SetupSection(self.ui, self.detection)
        self.ui.detectButton.connect("clicked()", self.onDetect)
        self.ui.resetButton.connect("clicked()", self.onReset)
        self.ui.sampleButton.connect("clicked()", self.onSample)
        self.ui.oneEachCheckBox.connect("toggled(bool)", self.onSettingsSettled)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneReady)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneReady)
        self.onSceneReady()
        self.setupSection.showMissing()

    def cleanup(self):
        """End the worker and stop observing: the module is closed or reloaded."""
        self.detection.cancel(now=True)
        self.tuning.stop()
        self.explanation.stop()
        self._setParameterNode(None)
        self.removeObservers()

    def enter(self):
        """Update the panel when it comes to the front."""
        self.onSceneReady()

    def onReload(self):
        """Reload the package too, for developers."""
        for name in [n for n in sys.modules if n.split(".")[0] == "BrainSSLAnomalyLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller=None, event=None):
        """Stop everything that belongs to a scene that is about to be closed."""
        self.detection.cancel(now=True)
        self.tuning.stop()
        self.session = None
        self.explanation.setSession(None)
        self._setParameterNode(None)

    def onSceneReady(self, caller=None, event=None):
        """Show parameters, guessed scans and results of a new, loaded or revisited scene."""
        self._setParameterNode(self.logic.getParameterNode())
        if not self.scans.chosen():
            self.scans.guess()
        self.layers.listResults()
        self.updateDetectButton()

    def onSample(self):
        """Load the synthetic patient."""
        from BrainSSLAnomalyLib.panel import sampledata

        with self.setupSection.showingErrors():
            nodes = sampledata.load()
            self.scans.guess(nodes[0])

    def updateDetectButton(self):
        """Enable the button where scans are usable and no worker is running."""
        is_possible = self.scans.areUsable() and not self.detection.is_running
        self.ui.detectButton.enabled = is_possible

    def onDetect(self):
        """Start the worker; `onDetected` continues when it is done."""
        with self.setupSection.showingErrors():
            if self.detection.is_running or not self.setupSection.isReady():
                return
            scans = self.scans.chosen()
            self.tuning.useDefaultsFor(scans)
            settings = self.detection.settings(self.parameterNode)
            job = self.logic.startDetection(scans, settings)
            self.detection.follow(job, lambda: self.onDetected(job, scans), self.updateDetectButton)
            self.updateDetectButton()

    def onDetected(self, job, scans):
        """Put the results into the scene and show them."""
        with self.setupSection.showingErrors(), slicer.util.RenderBlocker():
            results = self.logic.finishDetection(job, scans, self.tuning.settings())
            self.mayReplaceMask = not results.is_edited or self.setupSection.mayReplace(results)
            self.layers.listResults(results)
            self.onSettingsSettled()
            self.detection.showMessages(self.session.detection.warnings)

    def onResultsChosen(self, results):
        """Work on these results from now on; their settings come back with them."""
        self.session = None
        with self.setupSection.showingErrors():
            self.session = self.logic.session(results) if results else None
            if self.session:
                self.tuning.setSettings(results.settings)
                self.layers.show(results)
                self.mayReplaceMask = not results.is_edited
        self._showFindings()

    def onSettingsMoved(self):
        """Let the display follow a slider that moves."""
        if self.session:
            self.layers.hideBelow(self.session.lowest_level(self.tuning.settings()))

    def onSettingsSettled(self, *_unused):
        """Let mask and findings follow a slider that rests."""
        if not self._checkSession():
            return
        with self.setupSection.showingErrors():
            self.onSettingsMoved()
            self.session.segment(self.tuning.settings())
            self._showMask()

    def onReview(self, numbers, is_rejected):
        """Reject findings, or accept them again."""
        if self._checkSession():
            with self.setupSection.showingErrors():
                self.session.reject(numbers, is_rejected=is_rejected)
                self._showMask()

    def onReset(self):
        """Move the sliders to the defaults for the scans of the result."""
        if self.session:
            self.tuning.setSettings(self.session.results.default_settings)
        else:
            self.tuning.setSettings(default_segmentation(self.scans.chosen()))
        self.onSettingsSettled()

    def _checkSession(self):
        """Return whether there is a result; somebody may have deleted it in the Data module."""
        if self.session and not self.session.results.is_complete:
            self.layers.listResults()
        return self.session is not None

    def _showMask(self):
        results = self.session.results
        if results.is_edited and self.mayReplaceMask:
            self.mayReplaceMask = self.setupSection.mayReplace(results)
        if self.mayReplaceMask or not results.is_edited:
            self.session.write(one_each=self.ui.oneEachCheckBox.checked)
            self.layers.showSurface()
        self.layers.refresh()
        self._showFindings()

    def _showFindings(self):
        self.explanation.setSession(self.session)
        self.findings.show(self.session)
        self.export.setSession(self.session)

    def _setParameterNode(self, parameterNode):
        if self.parameterNode is not None and self._guiTag is not None:
            self.parameterNode.disconnectGui(self._guiTag)
        self.parameterNode, self._guiTag = parameterNode, None
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            self.detection.nameDetectors()
            self.tuning.showRows()


class BrainSSLAnomalyLogic(ScriptedLoadableModuleLogic):
    """Detect and segment, for scripts and for the panel.

    Paste into Slicer's Python console::

        logic = slicer.util.getModuleLogic("BrainSSLAnomaly")
        results = logic.detect(FLAIR=slicer.util.getNode("FLAIR"))
        segmentation = logic.segment(results)
        for finding in logic.session(results).findings:
            print(finding.place, finding.volume_ml)
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self._session = None

    def getParameterNode(self):
        """Return the typed parameter node of the scene."""
        return BrainSSLAnomalyParameterNode(super().getParameterNode())

    def detect(self, FLAIR=None, T1=None, T1c=None, T2=None, PD=None, settings=None, progress=None):
        """Detect, wait for it, and put the maps into the scene.

        Args:
            FLAIR: scalar volume node of the patient; any subset of the five contrasts.
            T1: as FLAIR.
            T1c: as FLAIR.
            T2: as FLAIR.
            PD: as FLAIR.
            settings: `DetectionSettings`, the defaults when not given.
            progress: receives stage and fraction (0 to 1).

        Returns:
            The results: ``results.layers``, ``results.reference``, ``results.segmentation``.

        Raises:
            BrainSSLAnomalyError: one sentence with the next step; the scene is as it was.
        """
        given = {"FLAIR": FLAIR, "T1": T1, "T1c": T1c, "T2": T2, "PD": PD}
        scans = {Modality(name): node for name, node in given.items() if node is not None}
        job = self.startDetection(scans, settings or DetectionSettings())
        try:
            while job.poll().status.value == "running":
                if progress:
                    progress(job.state.stage, job.state.fraction)
                slicer.app.processEvents()
                time.sleep(POLL_SECONDS)
            return self.finishDetection(job, scans)
        finally:
            job.close()

    def segment(self, results, settings=None, oneSegmentEach=False, overwrite=False):
        """Segment the anomaly score of some results.

        Args:
            results: from `detect`.
            settings: `SegmentationSettings`, those of the last time when not given.
            oneSegmentEach: a segment a finding.
            overwrite: also where the segmentation has been edited by hand.

        Returns:
            The segmentation node.

        Raises:
            EditedByHand: it has been edited, and ``overwrite`` is off.
        """
        session = self.session(results)
        session.segment(settings or results.settings)
        return session.write(one_each=oneSegmentEach, overwrite=overwrite)

    def session(self, results):
        """Return the session of some results, which keeps their maps in memory."""
        from BrainSSLAnomalyLib.scene.session import Session

        if self._session is None or self._session.results != results:
            self._session = Session(results)
        return self._session

    def startDetection(self, scans, settings):
        """Start a worker on scans (contrast → volume node), and return a `Job` to be polled.

        Raises:
            BrainSSLAnomalyError: a scan cannot be used, or the worker cannot be started.
        """
        from BrainSSLAnomalyLib import jobs, panel, scene

        study = scene.study_from_nodes(scans)
        python, environment = panel.slicer_python(), panel.worker_environment()
        return jobs.start_detection(study, settings, python, environment)

    def finishDetection(self, job, scans, segmentationSettings=None):
        """Put the result of a job that is done into the scene.

        Args:
            job: from `startDetection`.
            scans: contrast → volume node, as given to it.
            segmentationSettings: for the first mask; the defaults when not given.

        Raises:
            BrainSSLAnomalyError: the job failed, or a scan is gone; the scene is as it was.
        """
        from BrainSSLAnomalyLib import scene
        from BrainSSLAnomalyLib.jobs import JobFailed
        from BrainSSLAnomalyLib.scene.masks import load_terminology

        detection = job.result()
        if any(slicer.mrmlScene.GetNodeByID(node.GetID()) is not node for node in scans.values()):
            raise JobFailed("a scan was removed during the detection", "load it and detect again")
        load_terminology()
        self._session = None
        return scene.Results.write(detection, scans, segmentationSettings)


class BrainSSLAnomalyTest(ScriptedLoadableModuleTest):
    """Test the module within Slicer, by "Reload and Test" and by ctest."""

    def setUp(self):
        """Start with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run every test."""
        self.setUp()
        self.test_refusalLeavesTheScene()
        self.setUp()
        self.test_detectAndSegmentSyntheticPatient()

    def test_detectAndSegmentSyntheticPatient(self):
        """Find lesions of the synthetic patient."""
        from BrainSSLAnomalyLib.panel import dependencies, sampledata

        if dependencies.missing():
            self.skipTest("needs " + ", ".join(map(str, dependencies.missing())))
        nodes = sampledata.load(spacing=3.0)
        logic = BrainSSLAnomalyLogic()
        results = logic.detect(FLAIR=nodes[0])
        segmentation = logic.segment(results)
        self.assertGreaterEqual(len(logic.session(results).findings), 1)
        self.assertEqual(segmentation.GetSegmentation().GetNumberOfSegments(), 1)
        self.assertIn("score", results.layers)
        self.assertFalse(results.is_edited)

    def test_refusalLeavesTheScene(self):
        """Refuse what cannot be used in one sentence."""
        before = slicer.mrmlScene.GetNumberOfNodes()
        with self.assertRaises(BrainSSLAnomalyError) as refused:
            BrainSSLAnomalyLogic().detect()
        logging.info(str(refused.exception))
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)
