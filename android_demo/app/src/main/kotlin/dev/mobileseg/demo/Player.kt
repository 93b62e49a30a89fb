package dev.mobileseg.demo

import android.graphics.Bitmap
import android.os.SystemClock
import android.view.TextureView
import android.view.View
import dev.mobileseg.core.DemoError
import dev.mobileseg.core.Stage
import dev.mobileseg.core.Timing
import dev.mobileseg.core.describe

private const val NANOS = 1e6f
private const val WARMUP = 5
private const val REPEATS = 30
private const val PANEL_EVERY = 200L // milliseconds between two updates of figures; faster cannot be read

/**
 * Shows the camera or a picture through the model in use: the loop from frame to mask. One frame is under way at a
 * time; those that the camera brings meanwhile are only shown.
 */
class Player(
    private val aspect: AspectLayout,
    private val segmenter: Segmenter,
    private val panel: Panel,
    private val onPlaying: (Boolean) -> Unit,
) : Camera.Listener {
    private val stage: StageView = aspect.find(R.id.stage)
    private val preview: TextureView = aspect.find(R.id.preview)
    private val camera = Camera(aspect.context, preview, this)
    private val timing = Timing()
    private var reader: FrameReader? = null
    private var busy = false
    private var waitingSince = 0L
    private var shownAt = 0L
    private var toMeasure = 0

    var isLive = false
        private set

    var opacity by stage::opacity

    /** No frame is given until [use]: a model is being opened. */
    fun hold() {
        reader = null
        toMeasure = 0
    }

    /** The model in use from now on, null if there is none. */
    fun use(opened: Opened?) {
        reader = opened?.manifest?.input?.let { FrameReader(it.width, it.height) }
        timing.clear()
        stage.clearMask()
        segmentPicture()
    }

    fun showCamera() {
        stage.picture = null
        preview.visibility = View.VISIBLE
        playing(true)
        camera.open()
    }

    fun showPicture(picture: Bitmap) {
        stop()
        aspect.ratio = picture.width.toFloat() / picture.height
        stage.picture = picture
        segmentPicture()
    }

    /** The current picture, some times to warm up, then [REPEATS] times. */
    fun measure() {
        if (reader == null || stage.picture == null) throw DemoError("Choose a model and a picture first.")
        toMeasure = WARMUP + REPEATS
        panel.showStatus(aspect.context.getString(R.string.measuring, REPEATS))
        segmentPicture()
    }

    /** Stops the camera and keeps what it showed last, as a picture. */
    fun freeze() {
        val still = preview.bitmap
        stop()
        still?.let(::showPicture)
    }

    fun stop() {
        camera.close()
        preview.visibility = View.GONE
        stage.clearMask()
        toMeasure = 0
        playing(false)
    }

    fun pause() = camera.close()

    fun resume() {
        if (isLive) camera.open()
    }

    override fun onShape(ratio: Float) {
        aspect.ratio = ratio
    }

    override fun onFrame() {
        val frames = reader ?: return
        if (busy) return
        val begun = waitingSince.takeIf { it > 0 } ?: System.nanoTime()
        preview.getBitmap(frames.bitmap) // the GPU scales it
        val taken = (System.nanoTime() - begun) / NANOS
        segment(mapOf(Stage.CAMERA to taken), frames::read)
    }

    override fun onFailure(error: DemoError) {
        stop()
        panel.showError(describe(error))
    }

    private fun playing(live: Boolean) {
        isLive = live
        waitingSince = 0
        timing.clear()
        onPlaying(live)
    }

    private fun segmentPicture() {
        val frames = reader ?: return
        val picture = stage.picture ?: return
        if (busy) return
        segment(emptyMap()) { rgba ->
            frames.draw(picture)
            frames.read(rgba)
        }
    }

    private fun segment(
        before: Map<Stage, Float>,
        read: (IntArray) -> Unit,
    ) {
        val picture = stage.picture
        busy = true
        segmenter.segment(read) { result ->
            busy = false
            when {
                // Of a model or a picture that is no longer shown.
                reader == null || stage.picture !== picture -> segmentPicture()
                result.isSuccess -> show(result.getOrThrow(), before)
                else -> onFailure(DemoError(describe(checkNotNull(result.exceptionOrNull()))))
            }
        }
    }

    private fun show(
        done: Segmented,
        before: Map<Stage, Float>,
    ) {
        timing.add(before + done.times + (Stage.DRAW to stage.show(done.mask)))
        waitingSince = System.nanoTime()
        val now = SystemClock.uptimeMillis()
        if (!isLive || now - shownAt >= PANEL_EVERY) {
            shownAt = now
            panel.showTiming(timing.summary())
            panel.showShares(done.mask.shares())
        }
        if (toMeasure > 0) measureOn()
    }

    private fun measureOn() {
        toMeasure--
        if (toMeasure == REPEATS) timing.clear()
        if (toMeasure > 0) segmentPicture() else panel.showStatus("")
    }
}
