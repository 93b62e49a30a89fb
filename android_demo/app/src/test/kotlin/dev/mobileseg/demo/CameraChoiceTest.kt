package dev.mobileseg.demo

import android.content.Context
import android.graphics.ImageFormat
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.util.Size
import dev.mobileseg.core.messageOf
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowCameraCharacteristics
import org.robolectric.shadows.StreamConfigurationMapBuilder

@RunWith(RobolectricTestRunner::class)
class CameraChoiceTest {
    private val manager = RuntimeEnvironment.getApplication().getSystemService(Context.CAMERA_SERVICE) as CameraManager

    private fun add(
        id: String,
        facing: Int,
        turned: Int,
        vararg sizes: Size,
    ) {
        val facts = ShadowCameraCharacteristics.newCameraCharacteristics()
        val map = StreamConfigurationMapBuilder.newBuilder()
        sizes.forEach { map.addOutputSize(ImageFormat.PRIVATE, it) }
        shadowOf(facts).set(CameraCharacteristics.LENS_FACING, facing)
        shadowOf(facts).set(CameraCharacteristics.SENSOR_ORIENTATION, turned)
        if (sizes.isNotEmpty()) {
            shadowOf(facts).set(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP, map.build())
        }
        shadowOf(manager).addCamera(id, facts)
    }

    @Test
    fun `the one at the back, at about 1280 x 720, upright`() {
        add("0", CameraCharacteristics.LENS_FACING_FRONT, 270, Size(1280, 720))
        add(
            "1",
            CameraCharacteristics.LENS_FACING_BACK,
            90,
            Size(4000, 3000),
            Size(1280, 960),
            Size(1280, 720),
            Size(320, 240),
        )
        val choice = chooseCamera(manager)
        assertEquals("1" to Size(1280, 720), choice.id to choice.size)
        assertEquals(720f / 1280, choice.ratio)
    }

    @Test
    fun `any other, if there is none`() {
        add("7", CameraCharacteristics.LENS_FACING_EXTERNAL, 0, Size(640, 480))
        val choice = chooseCamera(manager)
        assertEquals("7", choice.id)
        assertEquals(640f / 480, choice.ratio)
    }

    @Test
    fun `no camera, or none with a preview, is said`() {
        assertTrue("no camera" in messageOf { chooseCamera(manager) })
        add("0", CameraCharacteristics.LENS_FACING_BACK, 90)
        assertTrue("no preview" in messageOf { chooseCamera(manager) })
    }
}
