package dev.mobileseg.demo

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.os.Handler
import android.view.Surface
import android.view.TextureView
import dev.mobileseg.core.DemoError

/**
 * Owns the camera, and shows it on a `TextureView`: the platform turns and scales, and hands out frames of any size.
 * Everything is called, and calls back, on the main thread.
 */
class Camera(
    context: Context,
    private val preview: TextureView,
    private val listener: Listener,
) {
    interface Listener {
        /** The preview's shape, width over height, before its first frame. */
        fun onShape(ratio: Float)

        /** A new frame is on the preview. */
        fun onFrame()

        /** It cannot go on; it is closed already. */
        fun onFailure(error: DemoError)
    }

    private val manager = context.getSystemService(Context.CAMERA_SERVICE) as CameraManager
    private val main = Handler(context.mainLooper)
    private var device: CameraDevice? = null
    private var surface: Surface? = null

    var isOpen = false
        private set

    /** The permission must have been given. */
    fun open() {
        if (isOpen) return
        isOpen = true
        preview.surfaceTextureListener = textures
        if (preview.isAvailable) preview.surfaceTexture?.let(::connect)
    }

    fun close() {
        preview.surfaceTextureListener = null
        device?.close()
        device = null
        surface?.release()
        surface = null
        isOpen = false
    }

    @SuppressLint("MissingPermission")
    private fun connect(texture: SurfaceTexture) =
        attempt {
            val choice = chooseCamera(manager)
            texture.setDefaultBufferSize(choice.size.width, choice.size.height)
            listener.onShape(choice.ratio)
            manager.openCamera(choice.id, states(texture), main)
        }

    private fun states(texture: SurfaceTexture) =
        object : CameraDevice.StateCallback() {
            override fun onOpened(opened: CameraDevice) {
                if (!isOpen) return opened.close() // closed while it opened
                device = opened
                attempt { showOn(opened, Surface(texture).also { surface = it }) }
            }

            override fun onDisconnected(lost: CameraDevice) {
                lost.close()
                fail(DemoError("Another app has taken the camera. Close that app, then start the camera again."))
            }

            override fun onError(
                failed: CameraDevice,
                error: Int,
            ) {
                failed.close()
                fail(DemoError("The camera failed (error $error). Start it again; if that fails, restart the phone."))
            }
        }

    // `createCaptureSession` with a configuration object came with API 28.
    @Suppress("DEPRECATION")
    private fun showOn(
        opened: CameraDevice,
        target: Surface,
    ) {
        val request =
            opened.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW).apply {
                addTarget(target)
                set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
            }
        val sessions =
            object : CameraCaptureSession.StateCallback() {
                override fun onConfigured(session: CameraCaptureSession) {
                    if (device === opened) attempt { session.setRepeatingRequest(request.build(), null, null) }
                }

                override fun onConfigureFailed(session: CameraCaptureSession) =
                    fail(DemoError("The camera refuses its preview. Choose a picture."))
            }
        opened.createCaptureSession(listOf(target), sessions, main)
    }

    private fun attempt(action: () -> Unit) =
        try {
            action()
        } catch (error: DemoError) {
            fail(error)
        } catch (error: CameraAccessException) {
            fail(DemoError("The camera cannot be used (${error.message}). Close other apps that use it.", error))
        } catch (error: SecurityException) {
            fail(DemoError("The camera may not be used by this app. Allow it in the phone's settings.", error))
        } catch (error: IllegalStateException) {
            fail(DemoError("The camera was closed (${error.message}). Start it again.", error))
        }

    private fun fail(error: DemoError) {
        close()
        listener.onFailure(error)
    }

    private val textures =
        object : TextureView.SurfaceTextureListener {
            override fun onSurfaceTextureAvailable(
                texture: SurfaceTexture,
                width: Int,
                height: Int,
            ) = connect(texture)

            override fun onSurfaceTextureUpdated(texture: SurfaceTexture) = listener.onFrame()

            override fun onSurfaceTextureSizeChanged(
                texture: SurfaceTexture,
                width: Int,
                height: Int,
            ) = Unit

            override fun onSurfaceTextureDestroyed(texture: SurfaceTexture) = true
        }
}
