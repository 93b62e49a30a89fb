package dev.mobileseg.demo

import android.os.Build
import dev.mobileseg.core.Delegate
import org.tensorflow.lite.gpu.CompatibilityList
import org.tensorflow.lite.gpu.GpuDelegate
import org.tensorflow.lite.nnapi.NnApiDelegate

/** A delegate that is an object of its own. It owns what it was made with. */
class NativeDelegate private constructor(
    val handle: org.tensorflow.lite.Delegate,
    private val owned: List<AutoCloseable>,
) : AutoCloseable {
    override fun close() = owned.forEach(AutoCloseable::close)

    companion object {
        /**
         * @return null for those that are a setting of the interpreter
         * @throws IllegalStateException if this phone has none, with the reason
         */
        fun open(kind: Delegate): NativeDelegate? =
            when (kind) {
                Delegate.XNNPACK, Delegate.NONE -> null
                Delegate.GPU -> gpu()
                Delegate.NNAPI -> nnapi()
            }

        private fun gpu(): NativeDelegate {
            val list = CompatibilityList()
            if (!list.isDelegateSupportedOnThisDevice) {
                list.close()
                error("TensorFlow Lite does not support the GPU of this phone, ${Build.MANUFACTURER} ${Build.MODEL}")
            }
            val delegate = GpuDelegate(list.bestOptionsForThisDevice)
            return NativeDelegate(delegate, listOf(AutoCloseable(delegate::close), AutoCloseable(list::close)))
        }

        private fun nnapi(): NativeDelegate {
            check(Build.VERSION.SDK_INT >= Build.VERSION_CODES.O_MR1) { "NNAPI came with Android 8.1" }
            // Its own CPU implementation would be slower than ours, and hide that no accelerator takes the model.
            val delegate = NnApiDelegate(NnApiDelegate.Options().setUseNnapiCpu(false))
            return NativeDelegate(delegate, listOf(delegate))
        }
    }
}
