package dev.mobileseg.demo

import android.widget.SeekBar

/** A seek bar's listener for who only wants to know where it stands. */
class OnProgress(
    private val action: (Int) -> Unit,
) : SeekBar.OnSeekBarChangeListener {
    override fun onProgressChanged(
        bar: SeekBar,
        progress: Int,
        fromUser: Boolean,
    ) = action(progress)

    override fun onStartTrackingTouch(bar: SeekBar) = Unit

    override fun onStopTrackingTouch(bar: SeekBar) = Unit
}
