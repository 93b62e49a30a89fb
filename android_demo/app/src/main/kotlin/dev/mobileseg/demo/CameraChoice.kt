package dev.mobileseg.demo

import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.util.Size
import dev.mobileseg.core.DemoError
import kotlin.math.abs

private const val WANTED_PIXELS = 1280 * 720
private const val HALF_TURN = 180

/** Which camera, the size of its preview, and the preview's shape (width over height) as it is seen upright. */
class CameraChoice(
    val id: String,
    val size: Size,
    val ratio: Float,
)

/**
 * The camera at the back, else any, with a preview of about 1280 x 720: models see less anyway.
 *
 * @throws DemoError if there is none
 */
fun chooseCamera(manager: CameraManager): CameraChoice {
    val found = manager.cameraIdList.map { it to manager.getCameraCharacteristics(it) }
    val (id, facts) =
        found.firstOrNull { (_, facts) ->
            facts.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_BACK
        } ?: found.firstOrNull() ?: throw DemoError("This phone has no camera that apps may use. Choose a picture.")
    val sizes =
        facts
            .get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)
            ?.getOutputSizes(SurfaceTexture::class.java)
            .orEmpty()
    val size =
        sizes.minByOrNull { abs(it.width * it.height - WANTED_PIXELS) }
            ?: throw DemoError("The camera offers no preview. Choose a picture.")
    val upright = facts.get(CameraCharacteristics.SENSOR_ORIENTATION).let { it == null || it % HALF_TURN == 0 }
    val ratio = size.width.toFloat() / size.height
    return CameraChoice(id, size, if (upright) ratio else 1 / ratio)
}
