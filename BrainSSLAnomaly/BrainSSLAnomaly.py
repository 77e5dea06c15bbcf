"""3D Slicer module: find what is unusual in a brain MRI, look at it, tune it, hand it over. Research use, not for diagnosis."""

import logging
import sys
import time
from typing import Annotated

import slicer
from BrainSSLAnomalyLib.core.errors import BrainSSLAnomalyError
from BrainSSLAnomalyLib.core.settings import (
    AnatomySource,
    DetectionSettings,
    DetectorName,
    Device,
    ThresholdMethod,
    default_segmentation,
)
from BrainSSLAnomalyLib.core.study import Modality
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class BrainSSLAnomaly(ScriptedLoadableModule):
    """What the module selector, the Sample Data module and the Data module know of us."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Brain SSL Anomaly")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = [
            "Segmentations",
            "SubjectHierarchy",
            "Volumes",
            "Colors",
            "Terminologies",
        ]
        parent.contributors = ["BrainSSLAnomaly authors"]
        parent.helpText = (
            _(
                "Finds what is unusual in T1, T2, FLAIR and PD scans of a brain without ever having been shown a lesion. Choose the scans, "
                "press Detect anomalies, move the threshold, look through the findings. Research use only, not for diagnosis."
            )
            + ' <a href="https://github.com/BrainSSLAnomaly/BrainSSLAnomaly">github.com/BrainSSLAnomaly</a>'
        )
        parent.acknowledgementText = _(
            "The bundled anatomy is made from public data; the file NOTICE names every source and its licence."
        )
        slicer.app.connect("startupCompleted()", self.onStartupCompleted)

    def setup(self):
        """Called by Slicer when the module is loaded: the right-click menu of the Data module."""
        from BrainSSLAnomalyLib import panel

        plugin = slicer.qSlicerSubjectHierarchyScriptedPlugin(None)
        plugin.setPythonSource(panel.MENU_FILE)

    def onStartupCompleted(self):
        """The other modules are there now."""
        from BrainSSLAnomalyLib.panel import sampledata

        sampledata.register(self.resourcePath("Icons/BrainSSLAnomaly.png"))


@parameterNodeWrapper
class BrainSSLAnomalyParameterNode:
    """What the panel remembers with the scene. Names are those of `SlicerParameterName` in the .ui file."""

    flair: vtkMRMLScalarVolumeNode
    t1: vtkMRMLScalarVolumeNode
    t1c: vtkMRMLScalarVolumeNode
    t2: vtkMRMLScalarVolumeNode
    pd: vtkMRMLScalarVolumeNode
    detector: Annotated[str, Choice([d.value for d in DetectorName])] = DetectorName.AUTO.value
    device: Annotated[str, Choice([d.value for d in Device])] = Device.AUTO.value
    anatomy: Annotated[str, Choice([a.value for a in AnatomySource])] = AnatomySource.NETWORK.value
    testTime: bool = False
    correctBias: bool = True
    opacity: Annotated[float, WithinRange(0, 1)] = 0.6
    linkViews: bool = True
    showSurface: bool = False
    method: Annotated[str, Choice([m.value for m in ThresholdMethod])] = (
        ThresholdMethod.HYSTERESIS.value
    )
    threshold: Annotated[float, WithinRange(0, 1)] = 0.7
    low: Annotated[float, WithinRange(0, 1)] = 0.2
    percentile: Annotated[float, WithinRange(0, 100)] = 99.0
    zscore: Annotated[float, WithinRange(0, 100)] = 5.0
    opening: Annotated[float, WithinRange(0, 20)] = 0.0
    closing: Annotated[float, WithinRange(0, 20)] = 3.0
    dilation: Annotated[float, WithinRange(0, 20)] = 0.0
    erosion: Annotated[float, WithinRange(0, 20)] = 0.0
    fillHoles: bool = True
    smallest: Annotated[float, WithinRange(0, 10)] = 0.03
    oneSegmentEach: bool = False
    explainFinding: bool = True


class BrainSSLAnomalyWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: every part of it is a class in ``BrainSSLAnomalyLib.panel``; here they are joined."""

    def __init__(self, parent=None):
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.parameterNode = None
        self._guiTag = None
        ScriptedLoadableModuleWidget.__init__(self, parent)  # without a parent it calls setup

    def setup(self):
        """Load the .ui file, make the parts, connect them."""
        ScriptedLoadableModuleWidget.setup(self)
        from BrainSSLAnomalyLib import panel

        self.uiWidget = slicer.util.loadUI(self.resourcePath("UI/BrainSSLAnomaly.ui"))
        self.layout.addWidget(self.uiWidget)
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = BrainSSLAnomalyLogic()
        self.scans = panel.Scans(self.ui, self.updateDetectButton)
        self.run = panel.Run(self.ui)
        self.layers = panel.Layers(self.ui, self.onResultsChosen)
        self.tuning = panel.Tuning(self.ui, self.onSettingsMoved, self.onSettingsSettled)
        self.explaining = panel.Explaining(self.ui, self.layers)
        self.findings = panel.Findings(self.ui, self.onReview, self.explaining.show)
        self.handover = panel.Handover(self.ui)
        self.care = panel.Care(self.ui, self.run)
        self.session, self.mayFollow = None, True
        self.ui.detectButton.connect("clicked()", self.onDetect)
        self.ui.resetButton.connect("clicked()", self.onReset)
        self.ui.sampleButton.connect("clicked()", self.onSample)
        self.ui.oneEachCheckBox.connect("toggled(bool)", self.onSettingsSettled)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneReady)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneReady)
        self.onSceneReady()
        self.care.sayWhatIsMissing()

    def cleanup(self):
        """The module is closed or reloaded: the worker ends, nothing keeps observing."""
        self.run.cancel(now=True)
        self.tuning.stop()
        self.explaining.stop()
        self._setParameterNode(None)
        self.removeObservers()

    def enter(self):
        """The panel comes to the front."""
        self.onSceneReady()

    def onReload(self):
        """Developers' reload: the package is read anew as well."""
        for name in [n for n in sys.modules if n.split(".")[0] == "BrainSSLAnomalyLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller=None, event=None):
        """Whatever runs belongs to a scene that is about to go."""
        self.run.cancel(now=True)
        self.tuning.stop()
        self.session = None
        self.explaining.offer(None)
        self._setParameterNode(None)

    def onSceneReady(self, caller=None, event=None):
        """A new, loaded or revisited scene: parameters, guesses, results."""
        self._setParameterNode(self.logic.getParameterNode())
        if not self.scans.chosen():
            self.scans.guess()
        self.layers.listResults()
        self.updateDetectButton()

    def onSample(self):
        """A patient to try it on."""
        from BrainSSLAnomalyLib.panel import sampledata

        with self.care.explained():
            nodes = sampledata.load()
            self.scans.guess(nodes[0])

    def updateDetectButton(self):
        """What is wrong with the scans is said before, not after."""
        self.ui.detectButton.enabled = self.scans.usable() and not self.run.running

    def onDetect(self):
        """Start the worker; `onDetected` goes on when it is done."""
        with self.care.explained():
            if self.run.running or not self.care.ready():
                return
            self.tuning.suit(scans := self.scans.chosen())
            job = self.logic.startDetection(
                scans, self.run.settings(self.parameterNode), self.tuning.settings()
            )
            self.run.follow(job, lambda: self.onDetected(job, scans), self.updateDetectButton)
            self.updateDetectButton()

    def onDetected(self, job, scans):
        """Put the results into the scene and show them."""
        with self.care.explained(), slicer.util.RenderBlocker():
            settings = (
                self.tuning.settings()
            )  # choosing results brings back theirs; these are the user's now
            results = self.logic.finishDetection(job, scans)
            self.mayFollow = not results.edited or self.care.mayReplace(results)
            self.layers.listResults(results)
            self.tuning.put(settings)
            self.onSettingsSettled()
            self.run.say(self.session.detection.warnings)

    def onResultsChosen(self, results):
        """Work on these results from now on; their settings come back with them."""
        self.session = None
        with self.care.explained():
            self.session = self.logic.session(results) if results else None
            if self.session:
                self.tuning.put(results.settings)
                self.layers.show(results)
                self.mayFollow = not results.edited
        self._showFindings()

    def onSettingsMoved(self):
        """A slider moves: the display follows at once."""
        if self.session:
            self.layers.hideBelow(self.session.level(self.tuning.settings()))

    def onSettingsSettled(self, *_unused):
        """A slider rests: mask and findings follow."""
        if not self._resultsAreThere():
            return
        with self.care.explained():
            self.onSettingsMoved()
            self.session.cut(self.tuning.settings())
            self._showMask()

    def onReview(self, numbers, rejected):
        """The reader rejects findings or takes them back."""
        if self._resultsAreThere():
            with self.care.explained():
                self.session.reject(numbers, rejected)
                self._showMask()

    def onReset(self):
        """The defaults of threshold and clean-up, for the scans that were looked at."""
        self.tuning.put(
            self.session.results.defaults
            if self.session
            else default_segmentation(self.scans.chosen())
        )
        self.onSettingsSettled()

    def _resultsAreThere(self):
        """Whether there is something to cut; somebody may have deleted it in the Data module."""
        if self.session and not self.session.results.complete:
            self.layers.listResults()
        return self.session is not None

    def _showMask(self):
        results = self.session.results
        if results.edited and self.mayFollow:
            self.mayFollow = self.care.mayReplace(results)
        if self.mayFollow or not results.edited:
            self.session.show(self.ui.oneEachCheckBox.checked)
            self.layers.showSurface()
        self.layers.refresh()
        self._showFindings()

    def _showFindings(self):
        self.explaining.offer(self.session)
        self.findings.show(self.session)
        self.handover.offer(self.session)

    def _setParameterNode(self, parameterNode):
        if self.parameterNode is not None and self._guiTag is not None:
            self.parameterNode.disconnectGui(self._guiTag)
        self.parameterNode, self._guiTag = parameterNode, None
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            self.run.nameDetectors()
            self.tuning.showRows()


class BrainSSLAnomalyLogic(ScriptedLoadableModuleLogic):
    """For scripts and for the panel. Paste into Slicer's Python console::

    logic = slicer.util.getModuleLogic("BrainSSLAnomaly")
    results = logic.detect(FLAIR=slicer.util.getNode("FLAIR"))
    segmentation = logic.segment(results)
    for finding in logic.session(results).findings:
        print(finding.place, finding.volume_ml)
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self._sessions = {}

    def getParameterNode(self):
        """The typed parameter node of the scene."""
        return BrainSSLAnomalyParameterNode(super().getParameterNode())

    def detect(self, FLAIR=None, T1=None, T1c=None, T2=None, PD=None, settings=None, progress=None):
        """Detect, wait for it, and put the maps into the scene.

        Args:
            FLAIR, T1, T1c, T2, PD: scalar volume nodes of one patient, any subset.
            settings: `DetectionSettings`, the defaults when not given.
            progress: called with stage and fraction (0 to 1).

        Returns:
            The results: ``results.layers``, ``results.reference``, ``results.segmentation``.

        Raises:
            BrainSSLAnomalyError: one sentence that says what is wrong and what to do; the scene is as it was.
        """
        given = {"FLAIR": FLAIR, "T1": T1, "T1c": T1c, "T2": T2, "PD": PD}
        scans = {Modality(name): node for name, node in given.items() if node is not None}
        job = self.startDetection(
            scans, settings or DetectionSettings(), default_segmentation(scans)
        )
        try:
            while job.poll().status.value == "running":
                if progress:
                    progress(job.state.stage, job.state.fraction)
                slicer.app.processEvents()
                time.sleep(0.05)
            return self.finishDetection(job, scans)
        finally:
            job.close()

    def segment(self, results, settings=None, oneSegmentEach=False, overwrite=False):
        """Cut the anomaly score into a segmentation.

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
        session.cut(settings or results.settings)
        return session.show(oneSegmentEach, overwrite)

    def session(self, results):
        """What keeps the maps of these results in memory, for fast cuts."""
        from BrainSSLAnomalyLib.scene.session import Session

        key = results.node.GetID()
        kept = self._sessions.get(key)
        if kept is None or kept.results != results:
            self._sessions = {key: Session(results)}
        return self._sessions[key]

    def startDetection(self, scans, detectionSettings, segmentationSettings):
        """A worker on these scans (contrast → volume node): a `Job` to be polled.

        Raises:
            BrainSSLAnomalyError: a scan cannot be used, or the worker cannot be started.
        """
        from BrainSSLAnomalyLib import jobs, panel, scene

        study = scene.study_from_nodes(scans)
        return jobs.start_detection(
            study, detectionSettings, segmentationSettings, panel.python(), panel.environment()
        )

    def finishDetection(self, job, scans):
        """The results of a job that is done, in the scene.

        Raises:
            BrainSSLAnomalyError: the job failed, or a scan is gone; the scene is as it was.
        """
        from BrainSSLAnomalyLib import scene
        from BrainSSLAnomalyLib.jobs import JobFailed
        from BrainSSLAnomalyLib.scene.masks import load_terminology

        detection = job.detection()
        if any(slicer.mrmlScene.GetNodeByID(node.GetID()) is not node for node in scans.values()):
            raise JobFailed("a scan was removed while it was worked on", "load it and detect again")
        load_terminology()
        self._sessions = {}
        return scene.Results.write(detection, scans)


class BrainSSLAnomalyTest(ScriptedLoadableModuleTest):
    """Run by "Reload and Test" and by ctest, within Slicer, on a made patient."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_refusalLeavesTheScene()
        self.setUp()
        self.test_detectAndSegmentSyntheticPatient()

    def test_detectAndSegmentSyntheticPatient(self):
        """Lesions that were put in are found, and the results survive a second run."""
        from BrainSSLAnomalyLib.panel import dependencies, sampledata

        if dependencies.missing():
            self.skipTest("needs " + ", ".join(dependencies.missing()))
        nodes = sampledata.load(spacing=3.0)
        logic = BrainSSLAnomalyLogic()
        results = logic.detect(FLAIR=nodes[0])
        segmentation = logic.segment(results)
        self.assertGreaterEqual(len(logic.session(results).findings), 1)
        self.assertEqual(segmentation.GetSegmentation().GetNumberOfSegments(), 1)
        self.assertIn("score", results.layers)
        self.assertFalse(results.edited)

    def test_refusalLeavesTheScene(self):
        """What cannot be used is refused in one sentence."""
        before = slicer.mrmlScene.GetNumberOfNodes()
        with self.assertRaises(BrainSSLAnomalyError) as refused:
            BrainSSLAnomalyLogic().detect()
        logging.info(str(refused.exception))
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)
