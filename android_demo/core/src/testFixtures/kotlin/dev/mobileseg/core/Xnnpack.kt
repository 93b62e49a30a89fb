package dev.mobileseg.core

import com.sun.jna.Memory
import com.sun.jna.NativeLibrary
import org.bytedeco.javacpp.Loader
import org.bytedeco.javacpp.Pointer
import org.bytedeco.tensorflowlite.TfLiteDelegate
import org.bytedeco.tensorflowlite.global.tensorflowlite

/** `TfLiteXNNPackDelegateOptions` of TensorFlow Lite 2.18 begins with the threads and the flags; zero is the rest. */
private const val OPTIONS_SIZE = 256L
private const val FLAGS_AT = 4L

/** `TFLITE_XNNPACK_DELEGATE_FLAG_QS8` and `_QU8`. */
private const val INTEGERS = 3

/**
 * XNNPACK with kernels for integers, as the builds for phones have it. Bytedeco's has them, too, but leaves them off
 * and offers no way to ask for them; the C function that does is in its library.
 */
internal class Xnnpack(
    threads: Int,
) : AutoCloseable {
    private val library = NativeLibrary.getInstance(Loader.load(tensorflowlite::class.java))
    private val made =
        Memory(OPTIONS_SIZE).use { options ->
            options.clear()
            options.setInt(0, threads)
            options.setInt(FLAGS_AT, INTEGERS)
            library.getFunction("TfLiteXNNPackDelegateCreate").invokePointer(arrayOf(options))
        }
    val handle: TfLiteDelegate = DelegateAt(
        com.sun.jna.Pointer
            .nativeValue(made),
    )

    override fun close() {
        library.getFunction("TfLiteXNNPackDelegateDelete").invokeVoid(arrayOf(made))
    }

    private class DelegateAt(
        place: Long,
    ) : TfLiteDelegate(null as Pointer?) {
        init {
            address = place
        }
    }
}
